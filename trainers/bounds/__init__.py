"""The supervised bound, the trials' network trained on pairs of other subjects: ``store`` opens it."""
