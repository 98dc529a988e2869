"""The engine `azure-openai`: a large language model behind OpenAI's API, given the categories with each document.

`engine` is the engine and its model, `prompts` what is sent, `answers` what comes back, `client` the calls between.
The texts of the prompts are files in `prompts/`, one folder a version; a version that was released does not change.
"""
