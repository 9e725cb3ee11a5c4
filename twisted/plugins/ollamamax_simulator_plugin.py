"""Tells twistd of the simulator."""

from twisted.application.service import ServiceMaker

ollamamax_simulator = ServiceMaker(
    "OllamaMax simulator",
    "ollamamax.simulator.tap",
    "A simulated Ollama that needs no GPU.",
    "ollamamax-simulator",
)
