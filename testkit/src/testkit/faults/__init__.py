"""What happens to the processes and servers, and what must hold all the same."""
