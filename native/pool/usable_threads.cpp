// The number of cores a process may use, which in a container can be less than the host's.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "pool/pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace myna {
namespace {

#if defined(__linux__)

int affinity_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return static_cast<int>(std::thread::hardware_concurrency());
  return CPU_COUNT(&set);
}

// The number of cores that one level of the hierarchy allows, or 0 if it sets no limit.
double quota_of(const std::string& v2_folder) {
  std::ifstream file(v2_folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::atof(quota.c_str()) / period;
}

double quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return 0;
  return quota / period;
}

// The smallest limit from the process's own group up to the root. In a container the group's path may not be
// visible; then the mount's root is the group.
double walk(const std::string& mount, std::string path, double (*limit_of)(const std::string&)) {
  double least = 0;
  for (;;) {
    const double limit = limit_of(mount + path);
    if (limit > 0) least = least > 0 ? std::min(least, limit) : limit;
    const auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

double cgroup_threads() {
  std::ifstream groups("/proc/self/cgroup");
  double least = 0;
  const auto take = [&least](double limit) {
    if (limit > 0) least = least > 0 ? std::min(least, limit) : limit;
  };
  for (std::string line; std::getline(groups, line);) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    std::getline(fields, id, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (path == "/") path.clear();
    if (controllers.empty()) take(walk("/sys/fs/cgroup", path, quota_of));
    if ((',' + controllers + ',').find(",cpu,") != std::string::npos)
      take(walk("/sys/fs/cgroup/cpu", path, quota_v1));
  }
  return least;
}

int granted_threads() {
  const int cores = affinity_threads();
  const double quota = cgroup_threads();
  return quota > 0 ? std::min(cores, static_cast<int>(quota)) : cores;
}

#else

int granted_threads() { return static_cast<int>(std::thread::hardware_concurrency()); }

#endif

}  // namespace

int usable_threads() { return std::max(1, granted_threads()); }

}  // namespace myna
