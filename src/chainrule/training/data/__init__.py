"""Data: readers, one file per format, and the data set they fill."""
