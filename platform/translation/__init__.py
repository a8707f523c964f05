"""Translating scans by a model: what is given, one visit, a whole data set, its pages and checks."""
