"""What is for people to run, and no part of the tests: figures, simulations, loads."""
