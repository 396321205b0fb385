// Clusters of detector hits in C++, with a model that `cmlflow export` wrote.
//
//   cluster MODEL.onnx EVENTS.txt
//
// EVENTS.txt has one point per line, the model's features in their order (x y z energy layer, with tracks also
// kind distance momentum), and an empty line after each event. Prints one label per point, -1 for noise, and an empty
// line after each event.

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Events {
  std::vector<float> points;            // n_points x n_features, row by row
  std::vector<std::int64_t> ptr = {0};  // event b owns points ptr[b] to ptr[b + 1] - 1
};

Events read(const std::string& path, std::size_t n_features) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  Events events;
  std::int64_t n_points = 0;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) {
      events.ptr.push_back(n_points);
      continue;
    }
    std::istringstream words(line);
    std::size_t n_values = 0;
    for (float value; words >> value; ++n_values) events.points.push_back(value);
    if (n_values != n_features || !words.eof())
      throw std::runtime_error(path + ": line " + std::to_string(number) + " is not " + std::to_string(n_features) +
                               " numbers");
    ++n_points;
  }
  if (events.ptr.back() != n_points) events.ptr.push_back(n_points);
  return events;
}

void run(const std::string& model, const std::string& path) {
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "cmlflow");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);  // a framework has its own threads: one event in each
  Ort::Session session(env, model.c_str(), options);

  const auto n_features =
      static_cast<std::size_t>(session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape().at(1));
  Events events = read(path, n_features);

  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  const std::array<std::int64_t, 2> points_shape = {static_cast<std::int64_t>(events.points.size() / n_features),
                                                    static_cast<std::int64_t>(n_features)};
  const std::array<std::int64_t, 1> ptr_shape = {static_cast<std::int64_t>(events.ptr.size())};
  std::vector<Ort::Value> inputs;
  inputs.push_back(Ort::Value::CreateTensor<float>(memory, events.points.data(), events.points.size(),
                                                   points_shape.data(), points_shape.size()));
  inputs.push_back(Ort::Value::CreateTensor<std::int64_t>(memory, events.ptr.data(), events.ptr.size(),
                                                          ptr_shape.data(), ptr_shape.size()));

  const std::array<const char*, 2> input_names = {"points", "ptr"};
  const std::array<const char*, 1> output_names = {"labels"};
  const auto outputs = session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(), inputs.size(),
                                   output_names.data(), output_names.size());

  const auto* labels = outputs[0].GetTensorData<std::int64_t>();
  for (std::size_t event = 0; event + 1 < events.ptr.size(); ++event) {
    for (auto i = events.ptr[event]; i < events.ptr[event + 1]; ++i) std::cout << labels[i] << '\n';
    std::cout << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: cluster MODEL.onnx EVENTS.txt\n";
    return 2;
  }
  try {
    run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << "cluster: " << error.what() << '\n';
    return 1;
  }
}
