"""streamsync brings the customers and products of many shops' ERPs into one PostgreSQL database."""

__version__ = "0.1.0"
