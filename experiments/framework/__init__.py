"""What commands are made of: the command line, and tables of runs."""
