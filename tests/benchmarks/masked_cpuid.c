/* Preloaded beside a copy of a library whose `cpuid` instructions have been replaced by `ud2` of the same length: the
   trap is answered with what this CPU says, less the features above the level that CPUS_MASK names. Kernels that the
   library chooses by `cpuid` are then those of a smaller CPU, at this one's speed. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define BIT(n) (1u << (n))

static int level; /* 1: no VNNI, 2: no AVX-512 either, 3: no AVX2, 4: no AVX */

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *at = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)at[REG_RIP];
    unsigned leaf = at[REG_RAX], sub = at[REG_RCX], a, b, c, d;
    if (code[0] != 0x0f || code[1] != 0x0b) {
        signal(SIGILL, SIG_DFL);
        return;
    }
    __cpuid_count(leaf, sub, a, b, c, d);
    if (leaf == 7 && sub == 0) {
        if (level >= 1) c &= ~BIT(11);
        if (level >= 2) {
            b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
            c &= ~(BIT(1) | BIT(6) | BIT(12) | BIT(14));
            d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
        }
        if (level >= 3) {
            b &= ~(BIT(3) | BIT(5) | BIT(8));
            c &= ~(BIT(8) | BIT(9) | BIT(10));
        }
    }
    if (leaf == 7 && sub == 1 && level >= 1) {
        a &= ~(BIT(4) | BIT(5));
        d &= ~(BIT(4) | BIT(5) | BIT(10));
    }
    if (leaf == 1 && level >= 4) c &= ~(BIT(12) | BIT(28) | BIT(29));
    at[REG_RAX] = a, at[REG_RBX] = b, at[REG_RCX] = c, at[REG_RDX] = d, at[REG_RIP] += 2;
}

__attribute__((constructor)) static void install(void) {
    const char *mask = getenv("CPUS_MASK");
    struct sigaction action;
    memset(&action, 0, sizeof action);
    level = mask ? atoi(mask) : 0;
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGILL, &action, 0);
}
