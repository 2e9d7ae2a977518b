"""`victor`: the command line over the console port."""
