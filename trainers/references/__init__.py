"""Networks trained once per cohort, the teacher and FID's encoders; import ``store`` to open them."""
