#include "server/version.h"

namespace ilf {

const char* Version() { return ILF_VERSION; }

}  // namespace ilf
