"""Image quality: ``judge`` applies the published measures to a split, ``extended`` the others."""
