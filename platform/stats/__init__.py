"""How certain a result is: scores with bootstrap draws, intervals, ties, probabilities of being best."""
