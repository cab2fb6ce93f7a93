// A few small pictures in the imagefolder layout.
#pragma once

#include <string>

namespace ilf {

// Makes a folder of `count` grey pictures, black to white, of two classes in turn; returns its path.
std::string SmallDataset(const std::string& name, int count, int side);

// The same with the captions "picture I" and "number I" in place of classes.
std::string SmallCaptionedDataset(const std::string& name, int count, int side);

}  // namespace ilf
