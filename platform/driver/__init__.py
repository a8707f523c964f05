"""What makes a process the driver of a folder: its lock, or its lease; and the folder's mirror in a store."""
