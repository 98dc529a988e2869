"""The product behind its functions: domain, wire, stores, engines, studios, use cases, runtime."""
