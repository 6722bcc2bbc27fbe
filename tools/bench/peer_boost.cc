/*
 * peer_boost.cc - boost::interprocess::message_queue, made with as many slots of
 * the message's size as the buffer of the others holds.
 */
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/version.hpp>
#include <cerrno>

#include "bench/channel.h"

namespace
{

namespace ipc = boost::interprocess;

const char *boost_version()
{
    return BOOST_LIB_VERSION;
}

ipc::message_queue *queue_of(channel *channel)
{
    return static_cast<ipc::message_queue *>(channel->state);
}

int boost_create(channel *channel)
{
    try {
        channel->state = new ipc::message_queue(ipc::create_only, channel->name,
                                                channel_slots(channel, 16), channel->size);
    } catch (const ipc::interprocess_exception &) {
        return -EIO;
    }
    return 0;
}

int boost_open(channel *channel, side)
{
    try {
        channel->state = new ipc::message_queue(ipc::open_only, channel->name);
    } catch (const ipc::interprocess_exception &) {
        return -EIO;
    }
    return 0;
}

void boost_close(channel *channel, side)
{
    delete queue_of(channel);
    channel->state = nullptr;
}

void boost_destroy(channel *channel)
{
    delete queue_of(channel);
    ipc::message_queue::remove(channel->name);
}

int boost_send(channel *channel, const void *message)
{
    queue_of(channel)->send(message, channel->size, 0);
    return 0;
}

int boost_receive(channel *channel, void *message)
{
    ipc::message_queue::size_type length = 0;
    unsigned priority = 0;
    queue_of(channel)->receive(message, channel->size, length, priority);
    return length == channel->size ? 0 : -EBADMSG;
}

transport boost_transport()
{
    transport t = {};
    t.name = "boost-mq";
    t.traits = TRAIT_STREAM | TRAIT_BLOCKS | TRAIT_MANY | TRAIT_PEER;
    t.version = boost_version;
    t.create = boost_create;
    t.open = boost_open;
    t.close = boost_close;
    t.destroy = boost_destroy;
    t.send = boost_send;
    t.receive = boost_receive;
    return t;
}

} // namespace

extern "C" {
extern const transport transport_boost;
const transport transport_boost = boost_transport();
}
