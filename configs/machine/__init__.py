"""What this machine is: its cards, their driver, the packages that are installed."""
