// The smallest HTTP client, for scraping metrics.
#pragma once

#include <string>

namespace ilf {

// The whole answer, head included, to GET http://ADDRESS/PATH; "" when the address does not answer.
// `address` is "IPV4:PORT".
std::string HttpGet(const std::string& address, const std::string& path);

}  // namespace ilf
