"""What `twistd` and `twist` offer once OllamaMax is installed."""

from twisted.application.service import ServiceMaker

ollamamax = ServiceMaker(
    "OllamaMax", "ollamamax.tap", "One measured HTTP endpoint in front of every Ollama that you run", "ollamamax"
)
