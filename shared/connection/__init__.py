"""The connection of a project with a labeling project of another studio: connect, switch, sync, disconnect."""
