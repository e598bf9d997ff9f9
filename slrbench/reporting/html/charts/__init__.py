"""Inline SVG pictures: scales, marks, axes and rows. Knows numbers and words, nothing of reports."""
