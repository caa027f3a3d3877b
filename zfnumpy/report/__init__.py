"""The report: one HTML page that shows a network from all sides."""
