"""Classrooms of students against a real server, over Streamlit's own protocol: ``python -m bench.loadtest``."""
