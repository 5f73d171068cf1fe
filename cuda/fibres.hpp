// The threads of a warp on the host, as fibres: each runs until it waits for the others, in an
// order that is shuffled anew each time. So whoever reads too early what another lane writes
// there reads now the old, now the new.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <vector>

class Fibres {
  public:
    // `body(lane)` by so many lanes, each with a stack of its own; returns when all have. Ends the
    // process where some wait and others have returned: on a device they would wait for ever.
    void run(unsigned count, std::mt19937& shuffle, const std::function<void(unsigned)>& body) {
        lanes_ = std::vector<Lane>(count);
        body_ = &body;
        running = this;
        std::vector<unsigned> order(count);
        for (unsigned i = 0; i < count; ++i) {
            order[i] = i;
            begin(lanes_[i]);
        }
        for (unsigned left = count; left > 0;) {
            std::shuffle(order.begin(), order.end(), shuffle);
            for (const unsigned i : order) {
                now_ = i;
                swapcontext(&host_, &lanes_[i].context);
                left -= lanes_[i].over ? 1 : 0;
            }
            if (left > 0 && left < count) {
                std::fprintf(stderr, "lanes of a warp wait for others that have returned\n");
                std::abort();
            }
        }
        running = nullptr;
    }

    // Of the lane that calls: until all others have come here.
    static void wait() {
        Fibres& all = *running;
        const unsigned i = all.now_;
        swapcontext(&all.lanes_[i].context, &all.host_);
    }
    static unsigned lane() { return running->now_; }
    static unsigned count() { return static_cast<unsigned>(running->lanes_.size()); }

    // Is it so for one lane at least? All call it.
    static bool any(bool here) {
        Fibres& all = *running;
        all.lanes_[all.now_].vote = here;
        wait();
        bool found = false;
        for (const Lane& each : all.lanes_) found |= each.vote;
        wait();
        return found;
    }

  private:
    static constexpr std::size_t stack = std::size_t{1} << 18;
    struct Lane {
        ucontext_t context;
        std::unique_ptr<char[]> memory{new char[stack]};  // not cleared
        bool over = false, vote = false;
    };
    static inline thread_local Fibres* running = nullptr;

    std::vector<Lane> lanes_;
    const std::function<void(unsigned)>* body_ = nullptr;
    ucontext_t host_;
    unsigned now_ = 0;

    void begin(Lane& lane) {
        getcontext(&lane.context);
        lane.context.uc_stack.ss_sp = lane.memory.get();
        lane.context.uc_stack.ss_size = stack;
        lane.context.uc_link = &host_;
        makecontext(&lane.context, &Fibres::enter, 0);
    }
    static void enter() {
        Fibres& all = *running;
        const unsigned i = all.now_;
        (*all.body_)(i);
        all.lanes_[i].over = true;
    }
};
