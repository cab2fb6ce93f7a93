// Tells the thread sanitizer about the locks of a prebuilt Abseil.
//
// Distributions build Abseil without the sanitizer, so it does not see that absl::Mutex orders two
// threads and reports a race for everything that a mutex guards. The linker's --wrap
// (cmake/TsanAbseil.cmake has the list) leads our calls through here, where each unlock is a
// release and each lock an acquire on the mutex's address. A condition may be evaluated by another
// thread, inside the unlock of that thread: it is wrapped likewise. Real races are still reported.
// Only in builds with ILF_SANITIZE=thread.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

// The names are mangled: their namespace is that of Debian 12's Abseil (20220623).
#define ILF_WRAPPED(result, symbol, ...) \
  result __real_##symbol(__VA_ARGS__);   \
  result __wrap_##symbol(__VA_ARGS__)

namespace {

// `condition`, ordered after whatever was done under `mutex` before.
class OrderedCondition {
 public:
  OrderedCondition(absl::Mutex* mutex, const absl::Condition* condition)
      : mutex_(mutex), condition_(condition), wrapped_(&OrderedCondition::Eval, this) {}
  const absl::Condition* get() const { return &wrapped_; }

 private:
  static bool Eval(OrderedCondition* self) {
    __tsan_acquire(self->mutex_);
    const bool result = self->condition_->Eval();
    __tsan_release(self->mutex_);
    return result;
  }

  absl::Mutex* const mutex_;
  const absl::Condition* const condition_;
  const absl::Condition wrapped_;
};

}  // namespace

extern "C" {

// Abseil's search for lock cycles copies memory under a lock of its own, which is not wrapped.
const char* __tsan_default_suppressions() {
  return "called_from_lib:libabsl_graphcycles_internal\n";
}

#define ILF_WRAP_LOCK(symbol)                     \
  ILF_WRAPPED(void, symbol, absl::Mutex* mutex) { \
    __real_##symbol(mutex);                       \
    __tsan_acquire(mutex);                        \
  }
#define ILF_WRAP_TRY_LOCK(symbol)                 \
  ILF_WRAPPED(bool, symbol, absl::Mutex* mutex) { \
    const bool locked = __real_##symbol(mutex);   \
    if (locked) __tsan_acquire(mutex);            \
    return locked;                                \
  }
#define ILF_WRAP_UNLOCK(symbol)                   \
  ILF_WRAPPED(void, symbol, absl::Mutex* mutex) { \
    __tsan_release(mutex);                        \
    __real_##symbol(mutex);                       \
  }

ILF_WRAP_LOCK(_ZN4absl7debian35Mutex4LockEv)
ILF_WRAP_LOCK(_ZN4absl7debian35Mutex10ReaderLockEv)
ILF_WRAP_TRY_LOCK(_ZN4absl7debian35Mutex7TryLockEv)
ILF_WRAP_TRY_LOCK(_ZN4absl7debian35Mutex13ReaderTryLockEv)
ILF_WRAP_UNLOCK(_ZN4absl7debian35Mutex6UnlockEv)
ILF_WRAP_UNLOCK(_ZN4absl7debian35Mutex12ReaderUnlockEv)

// Await and LockWhen. For LockWhen the release is not needed, and adds an order that is there
// anyway.
#define ILF_WRAP_CONDITION(symbol)                                                  \
  ILF_WRAPPED(void, symbol, absl::Mutex* mutex, const absl::Condition* condition) { \
    const OrderedCondition ordered(mutex, condition);                               \
    __tsan_release(mutex);                                                          \
    __real_##symbol(mutex, ordered.get());                                          \
    __tsan_acquire(mutex);                                                          \
  }
#define ILF_WRAP_CONDITION_UNTIL(symbol, Limit)                                                  \
  ILF_WRAPPED(bool, symbol, absl::Mutex* mutex, const absl::Condition* condition, Limit limit) { \
    const OrderedCondition ordered(mutex, condition);                                            \
    __tsan_release(mutex);                                                                       \
    const bool result = __real_##symbol(mutex, ordered.get(), limit);                            \
    __tsan_acquire(mutex);                                                                       \
    return result;                                                                               \
  }

ILF_WRAP_CONDITION(_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE)
ILF_WRAP_CONDITION(_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE)
ILF_WRAP_CONDITION_UNTIL(_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
                         absl::Duration)
ILF_WRAP_CONDITION_UNTIL(_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE,
                         absl::Time)
ILF_WRAP_CONDITION_UNTIL(
    _ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE, absl::Duration)
ILF_WRAP_CONDITION_UNTIL(_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE,
                         absl::Time)

ILF_WRAPPED(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, absl::CondVar* condition,
            absl::Mutex* mutex) {
  __tsan_release(mutex);
  __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(condition, mutex);
  __tsan_acquire(mutex);
}

#define ILF_WRAP_CONDVAR_UNTIL(symbol, Limit)                                            \
  ILF_WRAPPED(bool, symbol, absl::CondVar* condition, absl::Mutex* mutex, Limit limit) { \
    __tsan_release(mutex);                                                               \
    const bool result = __real_##symbol(condition, mutex, limit);                        \
    __tsan_acquire(mutex);                                                               \
    return result;                                                                       \
  }
ILF_WRAP_CONDVAR_UNTIL(_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE,
                       absl::Duration)
ILF_WRAP_CONDVAR_UNTIL(_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE,
                       absl::Time)

ILF_WRAPPED(void, _ZN4absl7debian312Notification6NotifyEv, absl::Notification* notification) {
  __tsan_release(notification);
  __real__ZN4absl7debian312Notification6NotifyEv(notification);
}
ILF_WRAPPED(void, _ZNK4absl7debian312Notification19WaitForNotificationEv,
            absl::Notification* notification) {
  __real__ZNK4absl7debian312Notification19WaitForNotificationEv(notification);
  __tsan_acquire(notification);
}
ILF_WRAPPED(bool, _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
            absl::Notification* notification, absl::Duration timeout) {
  const bool result =
      __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
          notification, timeout);
  __tsan_acquire(notification);
  return result;
}

ILF_WRAPPED(bool, _ZN4absl7debian315BlockingCounter14DecrementCountEv,
            absl::BlockingCounter* counter) {
  __tsan_release(counter);
  const bool result = __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(counter);
  if (result) __tsan_acquire(counter);
  return result;
}
ILF_WRAPPED(void, _ZN4absl7debian315BlockingCounter4WaitEv, absl::BlockingCounter* counter) {
  __real__ZN4absl7debian315BlockingCounter4WaitEv(counter);
  __tsan_acquire(counter);
}

}  // extern "C"
