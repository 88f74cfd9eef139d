"""The one application of the Django suite."""
