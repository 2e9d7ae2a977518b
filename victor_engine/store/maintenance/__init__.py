"""Work on whole stores: copies, checks of damage, sizes, and the export of their history."""
