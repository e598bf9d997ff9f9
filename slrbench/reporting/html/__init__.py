"""report.html: one file with the decision, its tables and pictures, that needs no network and no script."""
