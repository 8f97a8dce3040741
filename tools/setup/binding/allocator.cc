// Compiled into the binding beside the package's own sources.
//
// glibc hands a large buffer back to the kernel as soon as it is freed, and every page of the next
// one costs a fault. A train step frees and takes hundreds of such buffers, so here freed memory
// stays with the process: no buffer is a mapping of its own, and the heap does not shrink.
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>

namespace {

struct KeepFreedMemory {
  KeepFreedMemory() {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
    mallopt(M_TOP_PAD, 64 << 20);
    mallopt(M_ARENA_MAX, 1);  // a heap for each thread would keep its own
  }
} keep_freed_memory;

}  // namespace
#endif
