# The steps of continuous integration, and what must be over before each: `.ci/step NAME` runs one (.ci/run: all).
# Where several can start, the one that stands first does.
steps := readme_run tools readme_install lint format types random_models older_v2 older_v3 examples readme_code \
    toolchain sanitized wrong_shapes clang thread arm64 plain tidy same_bits cuda
.PHONY: all $(steps)
all: $(steps)

readme_install: readme_run # both build in the clone
tools: readme_run          # and use its environment
examples: readme_install   # one needs torch
lint format types random_models older_v2 older_v3 examples readme_code cuda: tools
sanitized clang arm64 plain thread: toolchain
wrong_shapes: tools sanitized
tidy: tools plain
same_bits: plain sanitized thread clang arm64

$(steps): ; +@.ci/step $@
