"""Files, folders and locks that a kill or a second command does not spoil."""
