"""The simulated MRI of the phantom: anatomy, deformation, physics and imaging."""
