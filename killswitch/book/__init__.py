"""What is open at the broker, as last seen, per account, with its age."""
