#include "engine/base/host_limits.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using testing::AllOf;
using testing::Eq;
using testing::Gt;
using testing::Le;
using testing::Optional;

constexpr int64_t kMiB = int64_t{1} << 20;

// A root folder with files of /proc and /sys.
class HostLimitsTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  HostLimits Limits() const { return ReadHostLimits(root_); }

  const std::string root_ = TestPath("host");
  const int machine_cpus_ = static_cast<int>(std::thread::hardware_concurrency());
};

TEST_F(HostLimitsTest, WhatCannotBeReadIsNoLimit) {
  EXPECT_EQ(Limits().cpus, machine_cpus_);
  EXPECT_EQ(Limits().memory_bytes, std::nullopt);
  EXPECT_EQ(ResidentBytes(root_), std::nullopt);
}

TEST_F(HostLimitsTest, WithoutGroupsItIsTheMachine) {
  Write("/proc/meminfo", "MemTotal:        4096 kB\nMemFree:           17 kB\n");
  Write("/proc/self/cgroup", "0::/\n");
  EXPECT_EQ(Limits().cpus, machine_cpus_);
  EXPECT_THAT(Limits().memory_bytes, Optional(4 * kMiB));
}

TEST_F(HostLimitsTest, AContainerSeesItsGroupAtTheTop) {
  Write("/proc/meminfo", "MemTotal:  1048576 kB\n");
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/cpu.max", "100000 100000\n");
  Write("/sys/fs/cgroup/memory.max", "536870912\n");
  EXPECT_EQ(Limits().cpus, 1);
  EXPECT_THAT(Limits().memory_bytes, Optional(512 * kMiB));
}

TEST_F(HostLimitsTest, TheLeastOfTheGroupsAboveCounts) {
  Write("/proc/meminfo", "MemTotal:  1048576 kB\n");
  Write("/proc/self/cgroup", "0::/kubepods/pod1/server\n");
  Write("/sys/fs/cgroup/kubepods/pod1/server/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/kubepods/pod1/server/memory.max", "max\n");
  Write("/sys/fs/cgroup/kubepods/pod1/cpu.max", "100000 100000\n");
  Write("/sys/fs/cgroup/kubepods/pod1/memory.max", "268435456\n");
  Write("/sys/fs/cgroup/kubepods/memory.max", "536870912\n");
  EXPECT_EQ(Limits().cpus, 1);
  EXPECT_THAT(Limits().memory_bytes, Optional(256 * kMiB));
}

TEST_F(HostLimitsTest, ReadsControlGroupsOfVersionOne) {
  Write("/proc/meminfo", "MemTotal:  1048576 kB\n");
  Write("/proc/self/cgroup", "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n1:name=systemd:/\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "134217728\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Limits().cpus, 1);
  EXPECT_THAT(Limits().memory_bytes, Optional(128 * kMiB));
}

TEST_F(HostLimitsTest, AQuotaOfNoWholeCpuLeavesOne) {
  Write("/sys/fs/cgroup/cpu.max", "20000 100000\n");
  EXPECT_EQ(Limits().cpus, 1);
}

TEST_F(HostLimitsTest, AQuotaAboveTheMachineIsNoLimit) {
  Write("/sys/fs/cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(Limits().cpus, machine_cpus_);
}

TEST_F(HostLimitsTest, NoQuotaOfVersionOneIsNoLimit) {
  Write("/proc/self/cgroup", "5:cpu:/\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limits().cpus, machine_cpus_);
}

TEST_F(HostLimitsTest, BrokenFilesAreNoLimit) {
  Write("/proc/meminfo", "MemTotal:\n");
  Write("/proc/self/cgroup", "0\n:::\n0::\n0::none\n");
  Write("/proc/self/statm", "17");
  Write("/sys/fs/cgroup/cpu.max", "100000\n");
  Write("/sys/fs/cgroup/memory.max", "-5 99999999999999999999\n");
  EXPECT_EQ(Limits().cpus, machine_cpus_);
  EXPECT_EQ(Limits().memory_bytes, std::nullopt);
  EXPECT_EQ(ResidentBytes(root_), std::nullopt);
}

TEST_F(HostLimitsTest, ResidentMemoryIsInPages) {
  Write("/proc/self/statm", "900 250 100 1 0 300 0\n");
  EXPECT_THAT(ResidentBytes(root_), Optional(250 * sysconf(_SC_PAGESIZE)));
}

TEST_F(HostLimitsTest, ThisProcessFitsIntoThisMachine) {
  const HostLimits limits = ReadHostLimits();
  EXPECT_THAT(limits.cpus, AllOf(Gt(0), Le(machine_cpus_)));
  ASSERT_TRUE(limits.memory_bytes.has_value());
  EXPECT_THAT(ResidentBytes(), Optional(AllOf(Gt(kMiB), Le(*limits.memory_bytes))));
}

}  // namespace
}  // namespace ilf
