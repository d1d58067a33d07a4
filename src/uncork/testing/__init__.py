"""The contracts that every probe, remedy and gatherer passes, for this project's tests and for yours."""
