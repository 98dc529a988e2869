"""Review: documents, lists, decisions, bulk decisions, teams."""
