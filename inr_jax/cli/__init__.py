"""Study files, flags and how commands end."""
