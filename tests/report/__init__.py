"""Tests of the report. A package, so that file names may repeat those of other folders."""
