// The calling thread of a run, which watches, and does what other threads leave to it: Python,
// which in a thread of its own could find no memory to begin with.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace teorell {

// The thread that has called, and what the threads of a run leave to it, one errand at a time.
class Caller {
  public:
    // Of a thread of the run: `errand` on the calling thread, and its answer.
    bool run(const std::function<bool()>& errand);
    // Of the calling thread: does errands, and calls `watch` every 50 ms, until it is `over`.
    void serve(const std::function<bool()>& over, const std::function<void()>& watch);
    // What `over` looks at is changed by this alone.
    template <class Change>
    void tell(Change change) {
        const std::lock_guard<std::mutex> lock(mutex_);
        change();
        changed_.notify_all();
    }

  private:
    std::thread::id thread_ = std::this_thread::get_id();
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<bool()>* errand_ = nullptr;
    bool* answer_ = nullptr;  // where its answer goes
};

inline bool Caller::run(const std::function<bool()>& errand) {
    if (std::this_thread::get_id() == thread_) return errand();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return errand_ == nullptr; });
    bool answer = false;
    errand_ = &errand, answer_ = &answer;
    changed_.notify_all();
    changed_.wait(lock, [&] { return answer_ != &answer; });
    return answer;
}

inline void Caller::serve(const std::function<bool()>& over, const std::function<void()>& watch) {
    using Clock = std::chrono::steady_clock;
    constexpr auto pause = std::chrono::milliseconds(50);
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto next = Clock::now() + pause;;) {
        changed_.wait_until(lock, next, [&] { return over() || errand_ != nullptr; });
        if (over()) return;
        const auto* errand = errand_;
        lock.unlock();
        const bool answer = errand != nullptr && (*errand)();
        if (Clock::now() >= next) {
            watch();
            next = Clock::now() + pause;
        }
        lock.lock();
        if (errand == nullptr) continue;
        *answer_ = answer;
        errand_ = nullptr, answer_ = nullptr;
        changed_.notify_all();
    }
}

}  // namespace teorell
