"""The questions that need more than one sweep, one a file (:class:`reliability.analysis.Analysis`)."""
