"""Trained nets outside the trainer: freezing, the file, and prediction with NumPy alone."""
