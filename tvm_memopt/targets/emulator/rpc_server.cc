// An RPC server for TVM without Python, on libtvm_runtime alone. Each session is a process of its own, so that a
// kernel that crashes ends its session and no more. Options: --port N --port-end N --key KEY --tracker HOST:PORT
// --load-library FILE. It listens on 127.0.0.1 unless --host names another address.
//
// The protocol is that of tvm.rpc.base and tvm.rpc.server: a magic number and a key from the client, the same back,
// then the stream that rpc.ServerLoop reads. A tracker gets JSON texts, each after its length in four bytes.
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>

namespace ffi = tvm::ffi;
using Text = std::string;

namespace {

constexpr int kMagic = 0xFF271, kMismatch = kMagic + 2, kTrackerMagic = 0x2F271;
constexpr int kPut = 3, kUpdateInfo = 5, kPendingKeys = 7;  // tvm.rpc.base.TrackerCode
constexpr int kPollMilliseconds = 2000, kPollsUntilNewKey = 4, kLongestText = 1 << 20;

volatile sig_atomic_t stopped = 0;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// A connected socket that is closed with its owner.
class Connection {
 public:
  explicit Connection(int fd = -1) : fd_(fd) {}
  Connection(Connection&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Connection& operator=(Connection&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Limit(int seconds) const {
    timeval limit{seconds, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  bool Send(const void* data, size_t nbytes) const {
    auto* at = static_cast<const char*>(data);
    while (nbytes > 0) {
      ssize_t sent = send(fd_, at, nbytes, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += sent, nbytes -= sent;
    }
    return true;
  }
  bool Receive(void* data, size_t nbytes) const {
    auto* at = static_cast<char*>(data);
    while (nbytes > 0) {
      ssize_t got = recv(fd_, at, nbytes, 0);
      if (got <= 0) return false;
      at += got, nbytes -= got;
    }
    return true;
  }
  bool Send(int number) const { return Send(&number, sizeof number); }
  bool Receive(int* number) const { return Receive(number, sizeof *number); }
  bool Send(const Text& text) const { return Send(static_cast<int>(text.size())) && Send(text.data(), text.size()); }
  bool Receive(Text* text) const {
    int nbytes = 0;
    if (!Receive(&nbytes) || nbytes < 0 || nbytes > kLongestText) return false;
    text->resize(nbytes);
    return Receive(text->data(), nbytes);
  }

 private:
  int fd_;
};

sockaddr_in AddressOf(const Text& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET, address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    fprintf(stderr, "%s is not an IPv4 address\n", host.c_str());
    exit(2);
  }
  return address;
}

// This server's registration with a tracker, renewed when the tracker comes back or a client never came.
class Registration {
 public:
  Registration(Text tracker, Text key, int port) : tracker_(std::move(tracker)), key_(std::move(key)), port_(port) {}

  const Text& match_key() const { return tracker_.empty() ? key_ : match_; }
  bool Needed() const { return !tracker_.empty(); }
  int fd() const { return connection_.fd(); }
  void Used() { offered_ = false; }

  // Makes sure that the tracker offers this server. False if the tracker does not answer now.
  bool Offer() {
    if (!connection_.open() && !Connect()) return false;
    if (offered_) return true;
    match_ = key_ + ":" + std::to_string(random_() % 1000000007) + "." + std::to_string(random_() % 1000000007);
    Text port = std::to_string(port_), answer;
    offered_ =
        Ask("[" + std::to_string(kPut) + ", \"" + key_ + "\", [" + port + ", \"" + match_ + "\"], null]", &answer);
    polls_ = 0;
    return offered_;
  }

  // After a while without a client: a match key that was taken but never used is replaced.
  void Check() {
    Text pending;
    if (!Ask("[" + std::to_string(kPendingKeys) + "]", &pending)) return;
    polls_ = pending.find("\"" + match_ + "\"") == Text::npos ? polls_ + 1 : 0;
    if (polls_ >= kPollsUntilNewKey) offered_ = false;
  }

 private:
  bool Connect() {
    size_t colon = tracker_.rfind(':');
    sockaddr_in address = AddressOf(tracker_.substr(0, colon), atoi(tracker_.c_str() + colon + 1));
    connection_ = Connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int magic = 0;
    Text answer, about = "{\"key\": \"server:" + key_ + "\", \"addr\": [null, " + std::to_string(port_) + "]}";
    connection_.Limit(10);
    if (connect(connection_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        connection_.Send(kTrackerMagic) && connection_.Receive(&magic) && magic == kTrackerMagic) {
      return Ask("[" + std::to_string(kUpdateInfo) + ", " + about + "]", &answer);
    }
    connection_ = Connection();
    return false;
  }

  bool Ask(const Text& message, Text* answer) {
    if (connection_.Send(message) && connection_.Receive(answer)) return true;
    connection_ = Connection();
    offered_ = false;
    return false;
  }

  Text tracker_, key_, match_;
  int port_, polls_ = 0;
  bool offered_ = false;
  Connection connection_;
  std::mt19937_64 random_{std::random_device{}()};
};

// Reads the client's greeting. Returns the session's limit in seconds (0: none), or -1 for a client to be refused.
double Greet(const Connection& client, const Text& expected, const Text& key) {
  int magic = 0;
  Text greeting;
  client.Limit(10);
  if (!client.Receive(&magic) || magic != kMagic || !client.Receive(&greeting)) return -1;
  if (greeting.substr(0, greeting.find(' ')) != "client:" + expected) {
    client.Send(kMismatch);
    return -1;
  }
  client.Limit(0);
  if (!client.Send(kMagic) || !client.Send("server:" + key)) return -1;
  size_t option = greeting.find("-timeout=");
  return option == Text::npos ? 0 : atof(greeting.c_str() + option + 9);
}

void Serve(int fd, const Text& folder) {
  auto path = [folder](ffi::String name) { return name.c_str()[0] == '/' ? Text(name) : folder + "/" + Text(name); };
  ffi::Function::SetGlobal("tvm.rpc.server.workpath",
                           ffi::Function::FromTyped([path](ffi::String name) { return ffi::String(path(name)); }),
                           true);
  ffi::Function::SetGlobal(
      "tvm.rpc.server.load_module",
      ffi::Function::FromTyped([path](ffi::String name) { return ffi::Module::LoadFromFile(path(name)); }), true);
  // TVM's own does not notice a full disk; the truncated library then ends the session by SIGBUS.
  ffi::Function::SetGlobal("tvm.rpc.server.upload",
                           ffi::Function::FromTyped([path](ffi::String name, ffi::Bytes content) {
                             FILE* file = fopen(path(name).c_str(), "wb");
                             bool written = file && fwrite(content.data(), 1, content.size(), file) == content.size();
                             int cause = errno;
                             if (file && fclose(file) != 0 && written) written = false, cause = errno;
                             if (!written)
                               TVM_FFI_THROW(RuntimeError) << name << " cannot be written: " << strerror(cause);
                           }),
                           true);
  ffi::Function::GetGlobalRequired("rpc.ServerLoop")(fd);
}

void RemoveFolder(const Text& folder) {
  if (DIR* entries = opendir(folder.c_str())) {
    while (dirent* entry = readdir(entries)) unlink((folder + "/" + entry->d_name).c_str());
    closedir(entries);
  }
  rmdir(folder.c_str());
}

// Waits for the session's process. Ends it at its limit, or when this server is stopped.
void Watch(pid_t session, int fd, double limit) {
  double started = Now();
  bool over = false;
  int status = 0;
  while (waitpid(session, &status, WNOHANG) == 0) {
    if (stopped) kill(session, SIGKILL);
    if (limit > 0 && !over && Now() - started > limit) {
      over = true;
      char text[160];
      snprintf(text, sizeof text, "RPCSessionTimeoutError: Your %gs session has expired.", limit);
      ffi::Function::GetGlobalRequired("rpc.ReturnException")(fd, ffi::String(text));
      kill(session, SIGKILL);
    }
    usleep(2000);
  }
  if (WIFSIGNALED(status)) fprintf(stderr, "session ended by signal %d%s\n", WTERMSIG(status), over ? ": limit" : "");
}

void RunSession(const Connection& client, double limit, int listener) {
  const char* base = getenv("TMPDIR");
  Text folder = Text(base ? base : "/tmp") + "/memopt_rpc_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    perror(folder.c_str());
    return;
  }
  pid_t session = fork();
  if (session == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_DFL);
    close(listener);
    try {
      Serve(client.fd(), folder);
    } catch (const std::exception& error) {
      fprintf(stderr, "session: %s\n", error.what());
      _exit(1);
    }
    _exit(0);
  }
  if (session > 0) Watch(session, client.fd(), limit);
  RemoveFolder(folder);
}

int Listen(const Text& host, int port, int port_end, int* bound) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  for (int at = port; at < port_end; ++at) {
    sockaddr_in address = AddressOf(host, at);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(listener, 8) == 0) {
      *bound = at;
      return listener;
    }
  }
  fprintf(stderr, "no free port from %d to %d\n", port, port_end - 1);
  exit(2);
}

void Loop(int listener, const Text& key, Registration* registration) {
  while (!stopped) {
    if (registration->Needed()) {
      if (!registration->Offer()) {
        sleep(1);
        continue;
      }
      pollfd waiting{listener, POLLIN, 0};
      if (poll(&waiting, 1, kPollMilliseconds) <= 0) {
        if (!stopped) registration->Check();
        continue;
      }
    }
    Connection client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.open()) continue;
    int one = 1;
    setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    double limit = Greet(client, registration->match_key(), key);
    if (limit < 0) continue;
    RunSession(client, limit, listener);
    registration->Used();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::map<Text, Text> options{{"--host", "127.0.0.1"}, {"--port", "9090"}, {"--port-end", ""},
                               {"--key", ""},           {"--tracker", ""},  {"--load-library", ""}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (options.count(argv[i]) == 0) {
      fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
    options[argv[i]] = argv[i + 1];
  }
  const Text& library = options["--load-library"];
  if (!library.empty() && dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  struct sigaction action{};
  action.sa_handler = [](int) { stopped = 1; };  // without SA_RESTART: accept and poll return
  sigaction(SIGTERM, &action, nullptr), sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a client that goes away in the middle is an error of its session, not a signal
  int port = atoi(options["--port"].c_str()), bound = 0;
  int port_end = options["--port-end"].empty() ? port + 100 : atoi(options["--port-end"].c_str());
  int listener = Listen(options["--host"], port, port_end, &bound);
  fprintf(stderr, "bind to %s:%d\n", options["--host"].c_str(), bound);
  Registration registration(options["--tracker"], options["--key"], bound);
  Loop(listener, options["--key"], &registration);
  return 0;
}
