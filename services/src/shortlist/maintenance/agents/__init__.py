"""What the leader does: one module for each agent."""
