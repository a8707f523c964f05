"""Ray: the cluster, Tune, and the sources that trials come from. Only this package imports Ray."""
