"""Projects in and out as files: the Azure project file and label files."""
