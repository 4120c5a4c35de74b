"""The measured lines as one page that shows them: figures, drawings, document."""
