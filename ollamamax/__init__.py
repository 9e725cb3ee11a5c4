"""OllamaMax: one measured HTTP endpoint in front of every Ollama that its user runs."""

__version__ = "0.1.0"
