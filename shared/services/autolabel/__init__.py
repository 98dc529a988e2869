"""Autolabeling: from uploads and requests to suggestions."""
