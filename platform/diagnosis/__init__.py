"""What may be wrong with an installation, a storage, a cluster or a space, found before it costs a study."""
