"""What the commands of hiring ask beside what clients ask."""
